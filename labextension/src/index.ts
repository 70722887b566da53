import { commands } from './plugins/commands';
import { panel } from './plugins/panel';
import { running } from './plugins/running';
import { services } from './plugins/services';

export { IModelServices } from './tokens';
export default [services, commands, panel, running];
