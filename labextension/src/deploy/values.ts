/** What stands in the form, and what is sent of it. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { BOUNDS } from '../bounds';
import type { CreateRequest, FolderInfo, Offer, Problem, Revision, UpdateRequest } from '../types';

export interface Variable {
  name: string;
  value: string;
}

/** As it is typed. */
export interface Values {
  name: string;
  replicas: string;
  /** Empty: the notebook's own. */
  image: string;
  gpus: string;
  /** Empty: as many as the site gives. */
  cpus: string;
  /** In GiB. */
  memory: string;
  environment: readonly Variable[];
  /** Of an update: the variables take the place of those that the service has. */
  replaces: boolean;
  public: boolean;
}

export type Wrong = Partial<
  Record<'name' | 'replicas' | 'image' | 'gpus' | 'cpus' | 'memory' | 'environment', string>
>;

/** As the server has it (core/names.py). */
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const LONGEST_NAME = 20;
const { cpus: CPUS, gpus: GPUS, memory: MEMORY, replicas: REPLICAS } = BOUNDS.CreateRequest;
const GIB = 2 ** 30; // bytes
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

export const EMPTY: Values = {
  name: '',
  replicas: '1',
  image: '',
  gpus: '',
  cpus: '',
  memory: '',
  environment: [],
  replaces: false,
  public: false
};

/** What the folder says about a service of it. */
export function valuesOf(folder: Pick<FolderInfo, 'name'>): Values {
  return { ...EMPTY, name: folder.name ?? '' };
}

/** What the revision has that is active. The values of its variables are not told to anybody. */
export function valuesOfRevision(revision: Revision): Values {
  const { gpus, cpus, memory } = revision.resources;
  const shown = (count: number | null | undefined) => (count ? String(count) : '');
  return {
    ...EMPTY,
    image: revision.image ?? '',
    gpus: shown(gpus),
    cpus: shown(cpus),
    memory: shown(memory && memory / GIB)
  };
}

/** Whether there is a GPU that a replica may have. */
export function hasGpus(offer: Offer | null): boolean {
  if (offer === null || offer.max_gpus_per_replica === 0) {
    return false;
  }
  return offer.gpus === null ? offer.max_gpus_per_replica !== null : offer.gpus.total > 0;
}

/** Names of images that may be asked for, without patterns. */
export function imagesOf(offer: Offer): string[] {
  const named = (offer.images ?? []).filter(each => !/[*?[]/.test(each));
  return [...new Set([...(offer.own_image ? [offer.own_image] : []), ...named])];
}

/**
 * That nothing says which port to listen on, unless a variable does.
 *
 * @param kept of an update: the names of the variables that stay unless others are set; their values are not known.
 */
export function portProblem(
  problem: Problem | null,
  { environment, replaces }: Pick<Values, 'environment' | 'replaces'>,
  kept: readonly string[] | null
): Problem | null {
  const set = kept === null || replaces;
  if (problem === null || (set && environment.some(each => each.value.includes('{port}')))) {
    return null;
  }
  return !set && kept.length > 0 ? { ...problem, severity: 'warning' } : problem;
}

/** Whether something has to be mended before the folder can be served. */
export function blocks(problems: readonly Problem[]): boolean {
  return problems.some(each => each.severity === 'error');
}

/** Of a new service, or of the next revision of one. */
export interface Asked<Body> {
  body: Body;
  wrong: Wrong;
}

export function createBody(
  values: Values,
  folder: string,
  offer: Offer | null,
  trans: TranslationBundle
): Asked<CreateRequest> {
  const replicas = whole(values.replicas);
  const most = offer?.max_replicas ?? REPLICAS.most;
  const { body, wrong } = options(values, offer, trans);
  if (!NAME.test(values.name) || values.name.length > LONGEST_NAME) {
    wrong.name = trans.__(
      'Lower-case letters, digits and single hyphens, at most %1 characters, a letter first.',
      LONGEST_NAME
    );
  }
  if (replicas === null || replicas > most) {
    wrong.replicas = trans.__('A number from 0 to %1.', most);
  }
  return {
    body: {
      folder,
      name: values.name,
      replicas: replicas ?? 1,
      public: values.public,
      ...body,
      ...(values.environment.length > 0 ? { environment: environmentOf(values) } : {})
    },
    wrong
  };
}

/** What is left out stays as it is. */
export function updateBody(
  values: Values,
  offer: Offer | null,
  trans: TranslationBundle
): Asked<UpdateRequest> {
  const { body, wrong } = options(values, offer, trans);
  return { body: { ...body, ...(values.replaces ? { environment: environmentOf(values) } : {}) }, wrong };
}

function options(values: Values, offer: Offer | null, trans: TranslationBundle) {
  const body: { image?: string; gpus?: number; cpus?: number; memory?: number } = {};
  const wrong: Wrong = {};
  if (offer?.containers && values.image.trim() !== '') {
    body.image = values.image.trim();
  }
  if (hasGpus(offer) && values.gpus.trim() !== '') {
    const gpus = whole(values.gpus);
    const most = offer?.max_gpus_per_replica ?? offer?.gpus?.total ?? GPUS.most;
    if (gpus === null || gpus > most) {
      wrong.gpus = trans.__('A number from 0 to %1.', most);
    } else {
      body.gpus = gpus;
    }
  }
  if (offer?.containers && values.cpus.trim() !== '') {
    const most = offer.cpus ?? CPUS.most;
    const cpus = amount(values.cpus);
    if (cpus === null || cpus < CPUS.least || cpus > most) {
      wrong.cpus = trans.__('A number from %1 to %2.', CPUS.least, most);
    } else {
      body.cpus = cpus;
    }
  }
  if (offer?.containers && values.memory.trim() !== '') {
    const memory = amount(values.memory);
    const count = Math.round((memory ?? 0) * GIB);
    if (count < MEMORY.least || (offer.memory !== null && count > offer.memory)) {
      wrong.memory =
        offer.memory === null
          ? trans.__('A number of GiB above 0, such as 0.5.')
          : trans.__('A number of GiB above 0, up to %1.', offer.memory / GIB);
    } else {
      body.memory = count;
    }
  }
  const environment = wrongEnvironment(values.environment, trans);
  if (environment !== null) {
    wrong.environment = environment;
  }
  return { body, wrong };
}

function wrongEnvironment(variables: readonly Variable[], trans: TranslationBundle): string | null {
  const names = variables.map(each => each.name.trim());
  const bad = names.find(each => !VARIABLE.test(each));
  if (bad !== undefined) {
    return bad === ''
      ? trans.__('A variable has no name.')
      : trans.__('“%1” is no name of a variable: letters, digits and underscores.', bad);
  }
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  return twice === undefined ? null : trans.__('%1 is set twice.', twice);
}

function environmentOf(values: Values): Record<string, string> {
  return Object.fromEntries(values.environment.map(each => [each.name.trim(), each.value]));
}

function whole(text: string): number | null {
  return /^\d{1,3}$/.test(text.trim()) ? Number(text) : null;
}

function amount(text: string): number | null {
  const value = /^\d{0,6}(\.\d{1,6})?$/.test(text.trim()) ? Number(text) : 0;
  return value > 0 ? value : null;
}

/** A folder of the file browser: without a slash at its ends. "/" is the whole of it. */
export function cleanPath(path: string): string {
  return path.trim().replace(/^\/+|\/+$/g, '');
}

/** Where the file browser has a folder of the disk; null: it has it not. */
export function pathBelow(root: string, folder: string): string | null {
  const top = root.replace(/\/+$/, '');
  if (root === '' || (folder !== top && !folder.startsWith(`${top}/`))) {
    return null;
  }
  return cleanPath(folder.slice(top.length));
}
